// How far each labeler's answers can be trusted, learned together with the reward
// (Crowd-BT: Chen, Bennett, Collins-Thompson, Horvitz 2013, "Pairwise ranking
// aggregation in a crowdsourced setting"). Numbers in, numbers out: no networks here.
//
// Labeler k reports the clip that they see as better with probability η_k, and the
// other one otherwise. If an answer has probability P when η = 1, it has
//   P′ = η′_k · P + (1 − η′_k) · (1 − P)
// in the loss. η′ near ½ removes a labeler's answers from it; η′ below ½ reverses them.
//
// η′ is η relative to the best labeler's: 2 η′_k − 1 = (2 η_k − 1) / (2 η_best − 1), within
// ± 1. The best is the labeler with the greatest lower bound of η (5 %): the greatest estimate
// of many labelers with few answers each is mostly luck. If even the best labeler disagrees with
// the networks, the networks are usually at fault. Using η itself would discount exactly the
// answers that teach most (rare events, such as a first landing). Slips of good labelers are
// already covered by the share of random answers (reward/ensemble.h).
//
// The estimate of η_k is the mean of its posterior,
//   p(η) ∝ η^(a − 1) (1 − η)^(b − 1) · ∏ (η p_i + (1 − η)(1 − p_i))^w_i,
// over answers i of k, with p_i the probability of answer i at η = 1, and w_i its weight:
// the pairs of a ranking are not independent. The prior is Beta(a, b) =
// Beta(4 + gold right, 1 + gold wrong): most people try. Given the p_i the posterior has
// one maximum. It is computed on a grid, and so are its quantiles, which take the p_i as
// certain.
//
// Reversing every η and every reward explains the answers equally well. All labelers
// therefore begin at the means of their priors, which turns the networks towards what
// most labelers say.
#ifndef BACKFLIP_COMMON_LEARN_REWARD_RELIABILITY_H_
#define BACKFLIP_COMMON_LEARN_REWARD_RELIABILITY_H_

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/nn/snapshot.h"

namespace backflip::learn {

// The estimate of a labeler's η.
struct Reliability {
  int labeler = 0;
  double mean = 0;
  double low = 0, high = 0;  // central 90 %
  int64_t labels = 0;        // of the labeler, when it was estimated
};

// An answer, as a labeler's reliability is judged by it.
struct JudgedAnswer {
  double probability = 0.5;  // p_i, in (0, 1)
  double weight = 1;         // w_i
};

// Estimates for all labelers. Not thread-safe.
class ReliabilityTable {
 public:
  void AddLabel(int labeler) { ++labels_[labeler]; }

  // How often a labeler's answers to pairs with a known answer were right and wrong:
  // for the estimates that follow.
  void SetGold(int labeler, int64_t right, int64_t wrong) { gold_[labeler] = {right, wrong}; }

  // Labelers with labels.
  size_t labelers() const { return labels_.size(); }

  // Gives labelers that have no estimate yet the mean of their prior.
  void Begin();
  // Replaces all estimates. `answers`: by labeler; one without any keeps to their prior.
  void Update(const std::map<int, std::vector<JudgedAnswer>>& answers);

  // By labeler; empty before Begin.
  const std::map<int, Reliability>& estimates() const { return estimates_; }
  // η′ of each labeler that has an estimate.
  std::map<int, double> Relative() const;

  // The estimates alone: labels and gold are added again. INVALID_ARGUMENT: what was
  // saved is damaged; nothing is changed then.
  void Save(nn::Snapshot* state) const;
  absl::Status Load(const nn::Snapshot& state);

 private:
  Reliability Estimate(int labeler, const std::vector<JudgedAnswer>& answers) const;

  std::map<int, int64_t> labels_;
  std::map<int, std::pair<int64_t, int64_t>> gold_;  // right, wrong
  std::map<int, Reliability> estimates_;
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_REWARD_RELIABILITY_H_
