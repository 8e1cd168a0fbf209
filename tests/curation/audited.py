"""Photos of the small audit that tests speak of: see conftest.py."""

COPY, BROKEN, ODD = "set/acne/copy of one.jpg", "set/acne/broken.jpg", "set/acne/é <b>&amp; 'x'.jpg"
