-- Questions a user asks. Made anew whenever the store is opened, so they always follow the code.

-- Wilson score interval of k successes in n trials, 95 %; NULL where n = 0.
CREATE OR REPLACE MACRO wilson_centre(k, n) AS (k + 1.920729410347062) / (n + 3.841458820694124);
CREATE OR REPLACE MACRO wilson_half(k, n) AS
    1.959963984540054 * sqrt(k * (n - k) / n + 0.960364705173531) / (n + 3.841458820694124);
CREATE OR REPLACE MACRO wilson_low(k, n) AS
    CASE WHEN n = 0 THEN NULL WHEN k = 0 THEN 0.0 ELSE wilson_centre(k, n) - wilson_half(k, n) END;
CREATE OR REPLACE MACRO wilson_high(k, n) AS
    CASE WHEN n = 0 THEN NULL WHEN k = n THEN 1.0 ELSE wilson_centre(k, n) + wilson_half(k, n) END;
