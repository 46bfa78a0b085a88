// Running mean and variance of vectors, merged batch by batch.
#ifndef BACKFLIP_COMMON_NN_NORMALIZER_H_
#define BACKFLIP_COMMON_NN_NORMALIZER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/nn/snapshot.h"

namespace backflip::nn {

// Of an input that hardly moved yet nobody knows the scale. Divided by a smaller deviation, a
// flag that is 1 for the first time, or a locked joint that gives way by a millimetre, would be
// the largest number that a network ever saw. Observations are SI units and flags.
inline constexpr double kLeastDeviation = 0.1;

// Chan, Golub and LeVeque's pairwise form of Welford's algorithm, in doubles.
class Normalizer {
 public:
  explicit Normalizer(int size);

  int size() const { return static_cast<int>(mean_.size()); }
  double count() const { return count_; }

  // Adds `rows` vectors, row-major [rows, size()].
  void Add(const float* values, int64_t rows);

  // Of what was added; 0 and 1 before the first. A standard deviation is never
  // under kLeastDeviation.
  std::vector<float> Mean() const;
  std::vector<float> StandardDeviation() const;

  // As if `count` vectors with this mean and deviation, of size() each, were all
  // that was added.
  void Restore(const std::vector<float>& mean, const std::vector<float>& deviation, int64_t count);

  // Kept under metadata `name`, bit for bit. InvalidArgument: there is none, or one
  // of another size.
  void Save(const std::string& name, Snapshot* snapshot) const;
  absl::Status Load(const std::string& name, const Snapshot& snapshot);

 private:
  double count_ = 0;
  std::vector<double> mean_;
  std::vector<double> squares_;  // sum of squared distances from the mean
};

}  // namespace backflip::nn

#endif  // BACKFLIP_COMMON_NN_NORMALIZER_H_
