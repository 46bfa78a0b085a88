// How far labelers agree beyond chance.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_AGREEMENT_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_AGREEMENT_H_

#include <optional>
#include <vector>

#include "services/preference_broker/trust/vote.h"

namespace backflip::trust {

// How the distance between two different values is measured.
enum class Level {
  // It is always 1.
  kNominal,
  // By how often the values between them were given: (sum of n_g for g = c..k - (n_c + n_k) / 2)^2,
  // where n_g is how often value g was given.
  kOrdinal,
};

// Krippendorff's alpha, 1 - observed / expected disagreement, from the
// coincidence matrix over items with two or more votes (Krippendorff 2011,
// "Computing Krippendorff's Alpha-Reliability", section C and D). 1: agreement;
// 0: chance; at least -1. Votes' values are below `values`. nullopt: no item has two votes, or all
// votes are the same, so that agreement cannot be told from chance.
std::optional<double> KrippendorffAlpha(const std::vector<Vote>& votes, int values, Level level);

// Shannon entropy of counts, divided by the logarithm of their number: 0 when all but one are
// zero, 1 when all are equal. 0 when the counts are all zero.
double NormalizedEntropy(const std::vector<int>& counts);

}  // namespace backflip::trust

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_AGREEMENT_H_
