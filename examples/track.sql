SELECT rows, sent, repeated, invalid, rejected, batches, bytes, bytes_on_wire, elapsed
FROM kseg.segment_track_from_query(
       'SELECT customer_id, round(expected_purchases::numeric, 3) AS expected_purchases,
               round(probability_alive::numeric, 4) AS probability_alive, 39 AS weeks
        FROM shop.prediction',
       event => 'Sales Prediction', user_id => 'customer_id');
