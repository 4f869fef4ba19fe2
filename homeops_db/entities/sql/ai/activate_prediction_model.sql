CREATE OR REPLACE FUNCTION ai.activate_prediction_model(model uuid)
RETURNS void
LANGUAGE plpgsql
VOLATILE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_kind text = (SELECT m.kind FROM ai.prediction_models m WHERE m.id = model);
BEGIN
    IF of_kind IS NULL THEN
        RAISE EXCEPTION 'there is no prediction model %', model USING ERRCODE = 'no_data_found';
    END IF;
    -- In two steps: one active model a kind is a law at every moment.
    UPDATE ai.prediction_models m SET is_active = false
    WHERE m.kind = of_kind AND m.is_active AND m.id <> model;
    UPDATE ai.prediction_models m SET is_active = true
    WHERE m.id = model AND NOT m.is_active;
END
$$;
