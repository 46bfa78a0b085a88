// Which labels each member of the reward ensemble trains on, and which it is judged by. No
// networks here.
//
// Labels name clips, and one clip is often in many labels: a label whose clips a member was
// trained on by others tests what it has memorised. A member therefore holds out clips, and
// with them every label that names one of them. Of clips it holds out the share
// 1 - sqrt(1 - h), which makes the share h of the labels whose clips are in no other. It
// takes the other labels as often as a bootstrap that took them at all: a Poisson(1)
// variable that is not 0. (Poisson(1) is the limit of drawing |D| from D with replacement,
// and lets labels come one by one; the paper's members leave out 1/e of the labels, the
// zeros.)
//
// All draws depend on the seed, the member, and the clip's content or the label's ordinal
// alone: the same labels give the same bootstraps whenever they arrive.
#ifndef BACKFLIP_COMMON_LEARN_REWARD_BOOTSTRAP_H_
#define BACKFLIP_COMMON_LEARN_REWARD_BOOTSTRAP_H_

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "common/experience/clip.h"

namespace backflip::learn {

// Not thread-safe. Labels are known by their row: 0, 1, … in the order of Add.
class Bootstrap {
 public:
  // `held_out`: h, in [0, 1).
  Bootstrap(uint64_t seed, int members, double held_out);

  void Add(const experience::Comparison& label);

  // Rows that member `m` trains on, each as often as it takes it: those that it does not hold out,
  // or all of them while it holds out every one, as of a robot whose clips are all the same.
  const std::vector<int64_t>& Taken(int m) const {
    return taken_[m].empty() ? held_out_[m] : taken_[m];
  }
  // Those that it holds out: at least one of their clips is held out.
  const std::vector<int64_t>& HeldOut(int m) const { return held_out_[m]; }
  // Of those, the ones of which neither clip was ever trained on.
  std::vector<int64_t> Unseen(int m) const;

 private:
  struct Clips {
    int left, right;
  };
  int IndexOf(const experience::Clip& clip);

  const uint64_t seed_;
  const double clips_held_out_;
  std::vector<Clips> rows_;
  std::unordered_map<uint64_t, int> index_;  // of a clip, by its content
  // By member; trained_ by clip: whether a label that it takes names it.
  std::vector<std::vector<int64_t>> taken_, held_out_;
  std::vector<std::vector<bool>> trained_;
  std::vector<uint64_t> contents_;  // by clip
};

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_REWARD_BOOTSTRAP_H_
