// What the inputs of networks are normalised by: running mean and variance, merged batch by batch.
#ifndef BACKFLIP_COMMON_NN_NORMALIZER_H_
#define BACKFLIP_COMMON_NN_NORMALIZER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/nn/snapshot.h"

namespace backflip::nn {

// Of an input that hardly moved yet nobody knows the scale. Divided by a smaller deviation, a
// locked joint that gives way by a millimetre would be the largest number that a network ever
// saw. Observations are SI units, flags and traces of flags.
inline constexpr double kLeastDeviation = 0.1;

// Chan, Golub and LeVeque's pairwise form of Welford's algorithm, in doubles.
//
// An input that never left [0, 1], and has been at an end of it, is a flag or a trace of one (a
// contact, a latch) and taken as it is: its mean is given as 0 and its deviation as 1. By its own
// deviation, a flag that was 1 in a share p of the steps would enter at √((1 − p) / p) when it is
// set: at 10 where that is rare, and so at whatever bound there is, which is more than all other
// inputs together. A floor of a share of the range that was seen does not do for flags: it keeps
// them at that share's inverse.
class Normalizer {
 public:
  explicit Normalizer(int size);

  int size() const { return static_cast<int>(mean_.size()); }
  double count() const { return count_; }

  // Adds `rows` vectors, row-major [rows, size()].
  void Add(const float* values, int64_t rows);

  // Of what was added, but for flags; 0 and 1 before the first. A standard deviation is
  // never under kLeastDeviation.
  std::vector<float> Mean() const;
  std::vector<float> StandardDeviation() const;

  // As if `count` vectors with this mean and deviation, of size() each, were all
  // that was added. Exactly 0 and 1 are those of a flag.
  void Restore(const std::vector<float>& mean, const std::vector<float>& deviation, int64_t count);

  // Kept under metadata `name`, bit for bit. InvalidArgument: there is none, or one
  // of another size.
  void Save(const std::string& name, Snapshot* snapshot) const;
  absl::Status Load(const std::string& name, const Snapshot& snapshot);

 private:
  bool IsFlag(int i) const { return within_[i] && at_end_[i]; }

  double count_ = 0;
  std::vector<double> mean_;
  std::vector<double> squares_;  // sum of squared distances from the mean
  std::vector<bool> within_;     // whether all were in [0, 1]
  std::vector<bool> at_end_;     // whether one was 0 or 1
};

}  // namespace backflip::nn

#endif  // BACKFLIP_COMMON_NN_NORMALIZER_H_
