-- Intervals of shares, 95 % (z = 1.959963984540054).

-- Wilson's score interval of k successes in n trials; NULL where n = 0.
CREATE OR REPLACE MACRO wilson_centre(k, n) AS (k + 1.920729410347062) / (n + 3.841458820694124);
CREATE OR REPLACE MACRO wilson_half(k, n) AS
    1.959963984540054 * sqrt(k * (n - k) / n + 0.960364705173531) / (n + 3.841458820694124);
CREATE OR REPLACE MACRO wilson_low(k, n) AS
    CASE WHEN n = 0 THEN NULL WHEN k = 0 THEN 0.0 ELSE wilson_centre(k, n) - wilson_half(k, n) END;
CREATE OR REPLACE MACRO wilson_high(k, n) AS
    CASE WHEN n = 0 THEN NULL WHEN k = n THEN 1.0 ELSE wilson_centre(k, n) + wilson_half(k, n) END;
COMMENT ON MACRO wilson_centre IS 'Centre of the 95 % Wilson score interval of k successes in n trials';
COMMENT ON MACRO wilson_half IS 'Half the width of the 95 % Wilson score interval of k successes in n trials';
COMMENT ON MACRO wilson_low IS 'Lower end of the 95 % Wilson score interval of k successes in n trials; NULL where n is 0';
COMMENT ON MACRO wilson_high IS 'Upper end of the 95 % Wilson score interval of k successes in n trials; NULL where n is 0';

-- Newcombe's hybrid score interval of the difference of two paired shares (Newcombe, "Improved confidence intervals for
-- the difference between binomial proportions based on paired data", Statistics in Medicine 17, 1998, method 10). Both
-- policies played the same n tasks; `first` and `second` of them were won by each, `shared` by both. The difference is
--     d = second / n - first / n,  from  d - distance(dl2, du1)  to  d + distance(du2, dl1),
--     distance(a, b) = sqrt(a^2 - 2 phi a b + b^2),
-- where dl and du lead from a share to the ends of its Wilson interval, and phi is the correlation of the pairs, with a
-- continuity correction where it is positive.
CREATE OR REPLACE MACRO paired_correlation(n, first, second, shared) AS
    CASE
        WHEN first::DOUBLE * second * (n - first) * (n - second) = 0 THEN 0.0
        WHEN n::DOUBLE * shared > first::DOUBLE * second THEN greatest(n::DOUBLE * shared - first::DOUBLE * second - n / 2, 0)
        ELSE n::DOUBLE * shared - first::DOUBLE * second
    END / greatest(sqrt(first::DOUBLE * second * (n - first) * (n - second)), 1);
CREATE OR REPLACE MACRO paired_distance(a, b, correlation) AS sqrt(greatest(a * a - 2 * correlation * a * b + b * b, 0));
CREATE OR REPLACE MACRO paired_low(n, first, second, shared) AS
    (second - first) / nullif(n, 0) - paired_distance(
        second / n - wilson_low(second, n), wilson_high(first, n) - first / n,
        paired_correlation(n, first, second, shared)
    );
CREATE OR REPLACE MACRO paired_high(n, first, second, shared) AS
    (second - first) / nullif(n, 0) + paired_distance(
        wilson_high(second, n) - second / n, first / n - wilson_low(first, n),
        paired_correlation(n, first, second, shared)
    );
COMMENT ON MACRO paired_correlation IS 'Correlation of two policies'' wins over the same n tasks, continuity-corrected where positive';
COMMENT ON MACRO paired_distance IS 'From a difference of paired shares to an end of its interval';
COMMENT ON MACRO paired_low IS 'Lower end of the 95 % interval of second / n - first / n, where two policies won `first` and `second` of the same n tasks, and `shared` of them both (Newcombe 1998, method 10); NULL where n is 0';
COMMENT ON MACRO paired_high IS 'Upper end of the 95 % interval of second / n - first / n, where two policies won `first` and `second` of the same n tasks, and `shared` of them both (Newcombe 1998, method 10); NULL where n is 0';
