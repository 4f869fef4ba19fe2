-- Orders with all that follows, each made once: what is paid doesn't change, not even to what it is.
DO $$
DECLARE
    wanted record;
    item uuid;
BEGIN
    FOR wanted IN
        SELECT md5('community.orders/' || sold.buyer || '/' || sold.title)::uuid AS id, u.id AS buyer_id,
               l.id AS listing_id, l.licence_code, l.price, l.currency, sold.stars, sold.words,
               (c.value #>> '{}')::date::timestamp AT TIME ZONE 'UTC' - sold.days_ago * interval '1 day' AS paid_at
        FROM (VALUES
            ('user@homeops.local', 'Lights Follow You', 40, 5, 'Never looked for a switch again.'),
            ('user@homeops.local', 'Boiler Bridge', 35, 4, 'Works, once the cable is right.'),
            ('user@homeops.local', 'An Hour of Set-up', 30, NULL, NULL),
            ('admin@homeops.local', 'Reading Corner', 20, 4, 'A little dark for small print.'),
            ('admin@homeops.local', 'Rain on a Tin Roof', 10, 5, NULL)
        ) AS sold (buyer, title, days_ago, stars, words)
        JOIN core.users u ON lower(u.email) = sold.buyer
        JOIN community.listings l ON l.id = md5('community.listings/' || sold.title)::uuid
        JOIN core.system_config c ON c.key = 'development.seeded_on'
        WHERE NOT EXISTS (
            SELECT FROM community.orders o WHERE o.id = md5('community.orders/' || sold.buyer || '/' || sold.title)::uuid
        )
    LOOP
        item = md5('community.order_items/' || wanted.id)::uuid;
        INSERT INTO community.orders (id, buyer_id, currency, total, created_at)
        VALUES (wanted.id, wanted.buyer_id, wanted.currency, wanted.price, wanted.paid_at);
        INSERT INTO community.order_items (id, order_id, buyer_id, listing_id, currency, unit_price, created_at)
        VALUES (item, wanted.id, wanted.buyer_id, wanted.listing_id, wanted.currency, wanted.price, wanted.paid_at);
        UPDATE community.orders SET status = 'paid', paid_at = wanted.paid_at WHERE id = wanted.id;
        PERFORM community.book_order(wanted.id);
        INSERT INTO community.licence_grants
            (id, order_item_id, listing_id, user_id, licence_code, granted_at)
        VALUES (md5('community.licence_grants/' || wanted.id)::uuid, item, wanted.listing_id, wanted.buyer_id,
                wanted.licence_code, wanted.paid_at);
        INSERT INTO community.reviews (licence_grant_id, listing_id, reviewer_id, stars, body)
        SELECT md5('community.licence_grants/' || wanted.id)::uuid, wanted.listing_id, wanted.buyer_id,
               wanted.stars, wanted.words
        WHERE wanted.stars IS NOT NULL;
    END LOOP;
END
$$;

INSERT INTO community.bookings (id, listing_id, profile_id, customer_id, order_item_id, during, status)
SELECT md5('community.bookings/' || i.id)::uuid, l.id, l.profile_id, i.buyer_id, i.id,
       tstzrange(i.created_at + interval '3 days 9 hours', i.created_at + interval '3 days 10 hours'), 'done'
FROM community.order_items i
JOIN community.listings l ON l.id = i.listing_id AND l.id = md5('community.listings/An Hour of Set-up')::uuid
WHERE NOT EXISTS (SELECT FROM community.bookings b WHERE b.id = md5('community.bookings/' || i.id)::uuid)
  AND i.order_id = md5('community.orders/user@homeops.local/An Hour of Set-up')::uuid;
