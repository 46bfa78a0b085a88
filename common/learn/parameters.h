// Internal to common/learn: named trainable tensors and Adam, in flat storage.
#ifndef BACKFLIP_COMMON_LEARN_PARAMETERS_H_
#define BACKFLIP_COMMON_LEARN_PARAMETERS_H_

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/nn/snapshot.h"

namespace backflip::learn {

// All parameters share one vector, and so do their gradients and moments: a
// step of Adam (Kingma and Ba 2015, b1 0.9, b2 0.999) is a handful of operations
// whatever the number of layers.
class Parameters {
 public:
  using Named = std::vector<std::pair<std::string, torch::Tensor>>;

  explicit Parameters(const Named& initial);

  // The i-th tensor, a leaf that requires gradients.
  const torch::Tensor& operator[](size_t i) const { return tensors_[i]; }
  size_t count() const { return tensors_.size(); }

  void ClearGradients() { gradient_.zero_(); }
  // The gradient of tensor i, to be changed in place.
  torch::Tensor Gradient(size_t i) { return tensors_[i].mutable_grad(); }
  // Scales the gradients down to a norm of at most `limit`. False, with nothing changed, where
  // they are not finite.
  bool ClipGradients(double limit);
  void Step(double learning_rate);

  // All tensors, in order; and their values as one vector [all], to be changed in place.
  const std::vector<torch::Tensor>& tensors() const { return tensors_; }
  torch::Tensor values() const { return values_; }

  // Weights and moments as tensors prefix + name (+ ".m", ".v"), the step count
  // as metadata.
  void Save(const std::string& prefix, nn::Snapshot* snapshot) const;
  absl::Status Load(const std::string& prefix, const nn::Snapshot& snapshot);

 private:
  torch::Tensor Part(const torch::Tensor& flat, size_t i) const;

  std::vector<std::string> names_;
  std::vector<std::vector<int64_t>> shapes_;
  std::vector<int64_t> offsets_;
  torch::Tensor values_, gradient_, first_, second_;  // [all]
  std::vector<torch::Tensor> tensors_;                // views of values_
  int64_t steps_ = 0;
};

// Copies to and from plain floats.
nn::Tensor FromTorch(const torch::Tensor& tensor);
torch::Tensor ToTorch(const nn::Tensor& tensor);
torch::Tensor ToTorch(const std::vector<float>& values, const std::vector<int64_t>& shape);

// A matrix [in, out] with orthonormal rows or columns times `gain`.
torch::Tensor Orthogonal(int64_t in, int64_t out, double gain, at::Generator generator);

// What `body` returns; Internal with LibTorch's message if it throws.
absl::Status Guard(const char* what, const std::function<absl::Status()>& body);

}  // namespace backflip::learn

#endif  // BACKFLIP_COMMON_LEARN_PARAMETERS_H_
