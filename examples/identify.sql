SELECT rows, sent, repeated, invalid, rejected, batches, bytes, bytes_on_wire, elapsed
FROM kseg.segment_identify_from_query(
       'SELECT customer_id, frequency, last_purchase_on, spent,
               expected_purchases > 1 AS will_buy_again
        FROM shop.prediction',
       user_id => 'customer_id');
