// What a share that was counted says of the share that is.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_INTERVALS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_INTERVALS_H_

namespace backflip::trust {

struct Interval {
  double low = 0;
  double high = 1;
};

// Wilson's score interval (1927) for a binomial proportion. `successes` from 0
// to `trials`, not necessarily whole: a tie is half of one. `confidence` in
// (0, 1). Without trials: all of [0, 1].
Interval WilsonInterval(double successes, double trials, double confidence);

}  // namespace backflip::trust

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_INTERVALS_H_
