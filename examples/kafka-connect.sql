CREATE EXTENSION kseg;
SELECT kseg.connect_kafka(bootstrap_servers => :'bootstrap');
