#include "common/nn/normalizer.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace backflip::nn {

Normalizer::Normalizer(int size)
    : mean_(size, 0.0), squares_(size, 0.0), within_(size, true), at_end_(size, false) {}

void Normalizer::Add(const float* values, int64_t rows) {
  if (rows == 0) return;
  const double added = static_cast<double>(rows), count = count_ + added;
  std::vector<double> means(size(), 0.0), squares(size(), 0.0);  // of these rows
  for (int64_t row = 0; row < rows; ++row) {
    for (int i = 0; i < size(); ++i) {
      const float value = values[row * size() + i];
      means[i] += value;
      if (value < 0 || value > 1) within_[i] = false;
      if (value == 0 || value == 1) at_end_[i] = true;
    }
  }
  for (double& mean : means) mean /= added;
  for (int64_t row = 0; row < rows; ++row) {
    for (int i = 0; i < size(); ++i) {
      const double distance = values[row * size() + i] - means[i];
      squares[i] += distance * distance;
    }
  }
  for (int i = 0; i < size(); ++i) {
    const double distance = means[i] - mean_[i];
    mean_[i] += distance * (added / count);
    squares_[i] += squares[i] + distance * distance * (count_ * added / count);
  }
  count_ = count;
}

std::vector<float> Normalizer::Mean() const {
  std::vector<float> mean(mean_.begin(), mean_.end());
  for (int i = 0; i < size(); ++i) {
    if (IsFlag(i)) mean[i] = 0;
  }
  return mean;
}

std::vector<float> Normalizer::StandardDeviation() const {
  std::vector<float> deviation(size(), 1.0f);
  if (count_ < 2) return deviation;
  for (int i = 0; i < size(); ++i) {
    if (IsFlag(i)) continue;
    deviation[i] = static_cast<float>(std::max(kLeastDeviation, std::sqrt(squares_[i] / count_)));
  }
  return deviation;
}

void Normalizer::Restore(const std::vector<float>& mean, const std::vector<float>& deviation,
                         int64_t count) {
  count_ = static_cast<double>(count);
  mean_.assign(mean.begin(), mean.end());
  for (int i = 0; i < size(); ++i) {
    squares_[i] = count_ * deviation[i] * deviation[i];
    within_[i] = at_end_[i] = mean[i] == 0 && deviation[i] == 1;
  }
}

void Normalizer::Save(const std::string& name, Snapshot* snapshot) const {
  std::vector<double> values = {count_};
  values.insert(values.end(), mean_.begin(), mean_.end());
  values.insert(values.end(), squares_.begin(), squares_.end());
  values.insert(values.end(), within_.begin(), within_.end());
  values.insert(values.end(), at_end_.begin(), at_end_.end());
  snapshot->SetNumbers(name, values);
}

absl::Status Normalizer::Load(const std::string& name, const Snapshot& snapshot) {
  ASSIGN_OR_RETURN(const std::vector<double> values, snapshot.Numbers(name));
  const bool knows_flags = values.size() == 1 + 4 * mean_.size();  // not in the first versions
  if ((!knows_flags && values.size() != 1 + 2 * mean_.size()) || values[0] < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the snapshot's \"", name, "\" is no normaliser of ", size(), " values"));
  }
  count_ = values[0];
  const auto squares = values.begin() + 1 + size(), within = squares + size();
  mean_.assign(values.begin() + 1, squares);
  squares_.assign(squares, within);
  within_.assign(size(), false);
  at_end_.assign(size(), false);
  if (knows_flags) {
    within_.assign(within, within + size());
    at_end_.assign(within + size(), values.end());
  }
  return absl::OkStatus();
}

}  // namespace backflip::nn
