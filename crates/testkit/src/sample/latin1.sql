-- For a database with encoding LATIN1: names and rows that are not ASCII.
SET client_encoding = 'UTF8';
SET client_min_messages = error;
CREATE SCHEMA "Bücher";
CREATE TYPE "Bücher"."Größe" AS ENUM ('klein', 'groß');
CREATE TABLE "Bücher"."Straße (ñ)" ("Schlüssel" integer PRIMARY KEY, "Größe" "Bücher"."Größe", "Überschrift" text CHECK ("Überschrift" <> 'ÿ'));
INSERT INTO "Bücher"."Straße (ñ)" SELECT n, (ARRAY['klein', 'groß'])[n % 2 + 1]::"Bücher"."Größe", 'Café ' || chr(192 + n % 64) || E'\t' || n
    FROM generate_series(1, 500) n;
COMMENT ON TABLE "Bücher"."Straße (ñ)" IS 'Kommentar mit Ümläuten';
CREATE INDEX "Índice" ON "Bücher"."Straße (ñ)" (lower("Überschrift"));
CREATE VIEW "Bücher"."Ansicht" AS SELECT "Schlüssel" FROM "Bücher"."Straße (ñ)" WHERE "Überschrift" IN ('Café', 'Thé');
CREATE SEQUENCE "Bücher"."Zähler" START WITH 5;
SELECT nextval('"Bücher"."Zähler"');
SELECT lo_from_bytea(3000000009, '\xe9e8ff00');
COMMENT ON LARGE OBJECT 3000000009 IS 'Größe';
