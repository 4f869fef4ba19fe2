-- What the rows are made of: each has a number and a hash of that, its table and the seed, and takes its values
-- out of the hash. md5 is the same everywhere. Nothing here asks for the time, or for chance.

-- The rows of a table: their numbers from 1, and their hashes. OFFSET keeps a hash from being made anew for each value.
CREATE OR REPLACE FUNCTION pg_temp.rows_of(path text, rows bigint, OUT n bigint, OUT h bytea) RETURNS SETOF record
LANGUAGE sql IMMUTABLE AS
$$$$ SELECT i, decode(md5('$seed/' || path || '/' || i::text), 'hex') FROM generate_series(1, rows) i OFFSET 0 $$$$;

-- A number from 0 to below, out of the part of the hash that has this number (0 to 6).
CREATE OR REPLACE FUNCTION pg_temp.part(h bytea, number int, below bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS
$$$$ SELECT (get_byte(h, 2 * number)::bigint << 24 | get_byte(h, 2 * number + 1) << 16
            | get_byte(h, 2 * number + 2) << 8 | get_byte(h, 2 * number + 3)) % below $$$$;

-- One of some words.
CREATE OR REPLACE FUNCTION pg_temp.word(h bytea, number int, words text[]) RETURNS text
LANGUAGE sql IMMUTABLE AS
$$$$ SELECT words[1 + pg_temp.part(h, number, cardinality(words))] $$$$;

-- The key of a table's row of that number. All begin with eight zeros, which tells them from other rows.
CREATE OR REPLACE FUNCTION pg_temp.key(path text, n bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE AS
$$$$ SELECT overlay(overlay(overlay(md5('$seed/key/' || path || '/' || n::text)
         PLACING '00000000' FROM 1) PLACING '4' FROM 13) PLACING '8' FROM 17)::uuid $$$$;

-- The key of any row of a table.
CREATE OR REPLACE FUNCTION pg_temp.any_key(h bytea, number int, path text, rows bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE AS
$$$$ SELECT pg_temp.key(path, 1 + pg_temp.part(h, number, rows)) $$$$;

-- A moment of the two years, at this share of them, and so many seconds later.
CREATE OR REPLACE FUNCTION pg_temp.moment(n bigint, rows bigint, later bigint DEFAULT 0) RETURNS timestamptz
LANGUAGE sql STABLE AS
$$$$ SELECT timestamptz '2024-01-01 00:00:00+00' + make_interval(secs => (n - 1) * 63158400 / rows + later) $$$$;

CREATE OR REPLACE FUNCTION pg_temp.first_name(h bytea, number int) RETURNS text
LANGUAGE sql IMMUTABLE AS
$$$$ SELECT pg_temp.word(h, number, '{Ada,Bela,Cleo,Dario,Edda,Finn,Greta,Hugo,Ines,Jonas,Kira,Leon,Mila,Noah,Olga,Pavel}') $$$$;

CREATE OR REPLACE FUNCTION pg_temp.last_name(h bytea, number int) RETURNS text
LANGUAGE sql IMMUTABLE AS
$$$$ SELECT pg_temp.word(h, number, '{Albers,Brandt,Castillo,Dumont,Eriksen,Fischer,Garner,Hoffmann,Ivanova,Jensen,Keller,Lindqvist,Moreau,Novak,Okafor,Petit}') $$$$;
