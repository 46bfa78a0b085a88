// Confidence intervals for proportions.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_INTERVALS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_INTERVALS_H_

namespace backflip::trust {

struct Interval {
  double low = 0;
  double high = 1;
};

// Wilson's score interval (1927) for a binomial proportion. `successes` from 0 to `trials`, not
// necessarily an integer: a tie counts one half. `confidence` in (0, 1). Without trials: [0, 1].
Interval WilsonInterval(double successes, double trials, double confidence);

}  // namespace backflip::trust

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_INTERVALS_H_
