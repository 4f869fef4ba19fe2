CREATE OR REPLACE VIEW community.listing_ratings AS
SELECT l.id AS listing_id,
       count(r.id) AS reviews,
       round(avg(r.stars), 2) AS average_stars,
       count(r.id) FILTER (WHERE r.stars >= 4) AS satisfied
FROM community.listings l
LEFT JOIN community.reviews r ON r.listing_id = l.id
GROUP BY l.id;
