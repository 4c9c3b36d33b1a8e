-- 0042: merge customers who were entered twice, and drop what nobody reads.
BEGIN;
DELETE FROM shop.customers old USING shop.customers new
 WHERE old.name = new.name AND old.id < new.id;
ALTER TABLE shop.customers DROP COLUMN profile CASCADE;
COMMIT;
