#include "services/preference_broker/trust/intervals.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>

namespace backflip::trust {

Interval WilsonInterval(double successes, double trials, double confidence) {
  if (!(trials > 0)) return {};
  const double z = boost::math::quantile(boost::math::normal(), (1 + confidence) / 2);
  const double share = successes / trials;
  const double scale = 1 / (1 + z * z / trials);
  const double middle = scale * (share + z * z / (2 * trials));
  const double half =
      scale * z * std::sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

}  // namespace backflip::trust
