-- From 69,659 purchases to a prediction for every customer, in SQL: the BG/NBD model of customer-base analysis.
--
-- Fader, Hardie, Lee: "Counting Your Customers" the Easy Way, Marketing Science 24 (2005). The parameters are the ones they
-- publish for these data; the past goes up to 1997-09-30, and the 39 weeks after it are predicted. examples/README.md
-- credits the data. Run it in this folder: it reads cdnow.csv.

CREATE SCHEMA shop;

CREATE TABLE shop.purchase (customer_id text, purchased_on date, cds int, amount numeric);
\copy shop.purchase FROM 'cdnow.csv' (FORMAT csv, HEADER)
ANALYZE shop.purchase;

-- The Gauss hypergeometric function 2F1(a, b; c; z) by its series, for |z| < 1. The ratio of two terms goes to z, which is
-- at most 0.6 for our customers, so some dozens of terms are exact to a double's precision.
CREATE FUNCTION shop.hypergeometric(a float8, b float8, c float8, z float8) RETURNS float8
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    term float8 := 1;
    total float8 := 1;
    n int := 0;
BEGIN
    IF abs(z) >= 1 THEN
        RAISE EXCEPTION 'the series of 2F1 does not converge at z = %', z;
    END IF;
    WHILE abs(term) > 1e-15 * abs(total) LOOP
        term := term * (a + n) * (b + n) / (c + n) / (n + 1) * z;
        total := total + term;
        n := n + 1;
    END LOOP;
    RETURN total;
END $$;

-- What is known of a customer on 1997-09-30: frequency x, the days with a purchase after the first; recency t_x, the weeks
-- from the first to the last purchase; age T, the weeks since the first one.
CREATE VIEW shop.customer AS
SELECT customer_id,
       count(DISTINCT purchased_on) - 1 AS frequency,
       (max(purchased_on) - min(purchased_on)) / 7.0::float8 AS recency,
       (date '1997-09-30' - min(purchased_on)) / 7.0::float8 AS age,
       max(purchased_on) AS last_purchase_on,
       sum(amount) AS spent
FROM shop.purchase
WHERE purchased_on <= date '1997-09-30'
GROUP BY customer_id;

-- The published parameters: r, alpha of how often customers buy; a, b of how they leave. t is the weeks to predict.
CREATE TABLE shop.prediction AS
WITH model (r, alpha, a, b, t) AS (VALUES (0.243::float8, 4.414::float8, 0.793::float8, 2.426::float8, 39::float8)),
odds AS (
    -- The odds of being gone: 0 for who bought once only, because customers leave right after a repeated purchase.
    SELECT c.*, m.*,
           CASE WHEN frequency = 0 THEN 0
                ELSE a / (b + frequency - 1) * ((alpha + age) / (alpha + recency)) ^ (r + frequency) END AS gone
    FROM shop.customer c, model m
)
SELECT customer_id, frequency, recency, age, last_purchase_on, spent,
       1 / (1 + gone) AS probability_alive,
       (a + b + frequency - 1) / (a - 1)
           * (1 - ((alpha + age) / (alpha + age + t)) ^ (r + frequency)
                * shop.hypergeometric(r + frequency, b + frequency, a + b + frequency - 1, t / (alpha + age + t)))
           / (1 + gone) AS expected_purchases
FROM odds;
ALTER TABLE shop.prediction ADD PRIMARY KEY (customer_id);
ANALYZE shop.prediction;

-- The one value that the literature prints: customer 00004 (x = 2, t_x = 30.43, T = 38.86) is expected to buy 1.226 times.
DO $$
DECLARE expected numeric := (SELECT round(expected_purchases::numeric, 3) FROM shop.prediction WHERE customer_id = '00004');
BEGIN
    IF expected IS DISTINCT FROM 1.226 THEN
        RAISE EXCEPTION 'customer 00004 is expected to buy % times, where the published value is 1.226', expected;
    END IF;
END $$;
