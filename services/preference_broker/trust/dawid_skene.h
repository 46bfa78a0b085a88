// Labelers' accuracy without ground truth.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_DAWID_SKENE_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_DAWID_SKENE_H_

#include <vector>

#include "services/preference_broker/trust/vote.h"

namespace backflip::trust {

struct DawidSkeneOptions {
  // Added to each expected count of a confusion matrix: the strength of a
  // symmetric Dirichlet prior on each of its rows. 0: maximum likelihood.
  double smoothing = 0;
  int max_iterations = 200;
  // Iterates until no probability of the truth changes by more.
  double tolerance = 1e-6;
};

struct DawidSkene {
  // [items][values]: the probability that a value is the item's true one.
  std::vector<std::vector<double>> truth;
  // [values]: how often each value is the true one.
  std::vector<double> prior;
  // [labelers][true value][given value]: rows are distributions, uniform where there is no
  // data.
  std::vector<std::vector<std::vector<double>>> confusion;
  int iterations = 0;

  // The probability that a labeler's answer is the true value, averaged over true values by how
  // often they occur: sum over k of prior[k] * confusion[labeler][k][k].
  double Accuracy(int labeler) const;
};

// The model of Dawid and Skene (1979, "Maximum Likelihood Estimation of
// Observer Error-Rates Using the EM Algorithm"), by expectation maximisation
// from the shares of each item's votes. Votes are of items below `items`,
// labelers below `labelers`, values below `values`. An item without votes gets the prior as its
// truth, and does not influence it.
DawidSkene FitDawidSkene(const std::vector<Vote>& votes, int items, int labelers, int values,
                         const DawidSkeneOptions& options);

}  // namespace backflip::trust

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_TRUST_DAWID_SKENE_H_
