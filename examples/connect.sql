CREATE EXTENSION kseg;
SELECT kseg.connect_segment(write_key => :'write_key', endpoint => :'endpoint');
