// What is said of a few runs that differ by their seeds (Agarwal et al., 2021, "Deep reinforcement
// learning at the edge of the statistical precipice").
#ifndef BACKFLIP_CLI_OUTPUT_STATISTICS_H_
#define BACKFLIP_CLI_OUTPUT_STATISTICS_H_

#include <vector>

namespace backflip::cli {

// Mean of the middle half: as many values as a quarter holds, rounded down, are left out at either
// end (5: the middle three). NaN without values.
double InterquartileMean(std::vector<double> values);

struct Estimate {
  // The interquartile mean.
  double value;
  // 95 % interval: percentiles of a bootstrap of 2,000 draws, the same in each call.
  double low;
  double high;
};
Estimate EstimateOf(const std::vector<double>& values);

// `value` in units of the `baseline` of the same seed. Two negative returns are costs: then the
// baseline's over the value's. NaN where their signs differ or one is 0.
double Ratio(double value, double baseline);

}  // namespace backflip::cli

#endif  // BACKFLIP_CLI_OUTPUT_STATISTICS_H_
