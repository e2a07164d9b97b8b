CREATE SCHEMA topics;
IMPORT FOREIGN SCHEMA "predictions" FROM SERVER kafka INTO topics;
\d topics.predictions
