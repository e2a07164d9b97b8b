SELECT t._partition AS partition, count(*) AS customers, round(sum(t.expected_purchases), 1) AS expected,
       sum(c.came) AS came
FROM topics.predictions t
JOIN (SELECT customer_id, count(DISTINCT purchased_on) FILTER (WHERE purchased_on > date '1997-09-30') AS came
      FROM shop.purchase GROUP BY 1) c ON c.customer_id = t._key
GROUP BY 1 ORDER BY 1;
