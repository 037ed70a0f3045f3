"""Statements for what waits for somebody: signals and those that wait for them, failures that wait for a person."""

from __future__ import annotations

from dramaturg.engine.store.statements import Statement

#: A signal that has come.
BUFFER = Statement(
    "buffer",
    """INSERT INTO signal (run, seq, name, payload) SELECT :run, seq, name, payload
    FROM <<rows signals | seq bigint, name text, payload text>> AS x WHERE true""",
)

#: Waits and the signals that are there for them: of each name the oldest with the oldest.
MATCHES = Statement(
    "matches",
    """SELECT w.id, s.seq
    FROM (SELECT id, signal, row_number() OVER (PARTITION BY signal ORDER BY id) AS place FROM execution
        WHERE run = :run AND status = 'waiting' AND awaits = 'signal'
            AND EXISTS (SELECT 1 FROM signal s WHERE s.run = :run AND s.name = execution.signal)) AS w
    JOIN (SELECT seq, name, row_number() OVER (PARTITION BY name ORDER BY seq) AS place FROM signal
        WHERE run = :run AND name IN (SELECT signal FROM execution WHERE run = :run AND status = 'waiting'
            AND awaits = 'signal')) AS s ON s.name = w.signal AND s.place = w.place
    ORDER BY s.seq""",
)

#: A wait gets its signal; it may have ended meanwhile, then the signal stays.
DELIVER = Statement(
    "deliver",
    """UPDATE execution SET status = 'returned', outcome = 'succeeded', due_at = NULL, finished_at = :now,
        result = (SELECT payload FROM signal s WHERE s.run = execution.run AND s.seq = x.seq)
    FROM <<rows delivered | id bigint, seq bigint>> AS x
    WHERE execution.id = x.id AND execution.status = 'waiting' AND execution.awaits = 'signal' RETURNING execution.id""",
)

TAKE_SIGNALS = Statement(
    "take_signals",
    "DELETE FROM signal WHERE run = :run AND seq IN (SELECT seq FROM <<rows taken | seq bigint>> AS x)",
)

CLEAR_SIGNALS = Statement("clear_signals", "DELETE FROM signal WHERE run = :run")

PARK = Statement(
    "park",
    "UPDATE execution SET parked = true WHERE run = :run AND task = :task AND visit = :visit AND item = -1",
)

#: One failure does not wait for a person any more, or none of the run does.
UNPARK = Statement(
    "unpark",
    """UPDATE execution SET parked = false WHERE run = :run AND item = -1 AND parked
        AND (CAST(:task AS text) IS NULL OR (task = :task AND visit = :visit))""",
)

#: The lineage of a failure that waits for a person.
PARKED = Statement(
    "parked",
    """SELECT lineage FROM execution WHERE run = :run AND task = :task AND visit = :visit AND item = -1 AND parked""",
)
