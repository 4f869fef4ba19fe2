-- The ids stand here because the bulk file that follows refers to them.
INSERT INTO media.libraries (id, name, type, path) VALUES
    (md5('media.libraries/Test Movies')::uuid, 'Test Movies', 'movies', '/media/movies'),
    (md5('media.libraries/Test Shows')::uuid, 'Test Shows', 'shows', '/media/shows'),
    (md5('media.libraries/Test Music')::uuid, 'Test Music', 'music', '/media/music'),
    (md5('media.libraries/Test Books')::uuid, 'Test Books', 'books', '/media/books')
ON CONFLICT (name) DO NOTHING;
