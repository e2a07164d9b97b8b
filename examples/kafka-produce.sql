SELECT rows, sent, invalid, rejected, retries, bytes, bytes_on_wire, elapsed
FROM kseg.kafka_produce_from_query(
       'SELECT customer_id AS key, round(expected_purchases::numeric, 3) AS expected_purchases,
               round(probability_alive::numeric, 4) AS probability_alive, 39 AS weeks
        FROM shop.prediction',
       topic => 'predictions');
