CREATE OR REPLACE FUNCTION ai.conversation_context(of_conversation uuid, budget integer)
RETURNS TABLE (message_id uuid, "position" integer, role text, content text, tokens integer)
LANGUAGE sql
STABLE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $$
    -- What the system says comes first out of the budget, then the newest messages, without a gap.
    WITH counted AS (
        SELECT m.id, m.position, m.role, m.content, m.tokens, m.reply_to_id,
               sum(m.tokens) OVER (ORDER BY m.role = 'system' DESC, m.position DESC) AS used
        FROM ai.messages m
        WHERE m.conversation_id = of_conversation
    ), kept AS (
        SELECT * FROM counted WHERE counted.used <= budget
    )
    SELECT k.id, k.position, k.role, k.content, k.tokens
    FROM kept k
    -- The result of a tool means nothing without the message that called it.
    WHERE k.role <> 'tool' OR EXISTS (SELECT FROM kept caller WHERE caller.id = k.reply_to_id)
    ORDER BY k.position
$$;
