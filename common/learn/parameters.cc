#include "common/learn/parameters.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace backflip::learn {

Parameters::Parameters(const Named& initial) {
  std::vector<torch::Tensor> flat;
  int64_t offset = 0;
  for (const auto& [name, tensor] : initial) {
    names_.push_back(name);
    shapes_.push_back(tensor.sizes().vec());
    offsets_.push_back(offset);
    offset += tensor.numel();
    flat.push_back(tensor.detach().reshape({-1}));
  }
  values_ = torch::cat(flat);
  gradient_ = torch::zeros_like(values_);
  first_ = torch::zeros_like(values_);
  second_ = torch::zeros_like(values_);
  for (size_t i = 0; i < names_.size(); ++i) {
    torch::Tensor leaf = Part(values_, i).detach();
    leaf.requires_grad_(true);
    leaf.mutable_grad() = Part(gradient_, i);
    tensors_.push_back(leaf);
  }
}

torch::Tensor Parameters::Part(const torch::Tensor& flat, size_t i) const {
  int64_t size = 1;
  for (const int64_t dimension : shapes_[i]) size *= dimension;
  return flat.narrow(0, offsets_[i], size).view(shapes_[i]);
}

bool Parameters::ClipGradients(double limit) {
  const double norm = gradient_.norm().item<double>();
  if (!std::isfinite(norm)) return false;
  if (norm > limit) gradient_.mul_(limit / (norm + 1e-6));
  return true;
}

void Parameters::Step(double learning_rate) {
  torch::NoGradGuard no_grad;
  ++steps_;
  const double count = static_cast<double>(steps_);
  first_.mul_(0.9).add_(gradient_, 0.1);
  second_.mul_(0.999).addcmul_(gradient_, gradient_, 0.001);
  const torch::Tensor scale = second_.div(1 - std::pow(0.999, count)).sqrt_().add_(1e-8);
  values_.addcdiv_(first_, scale, -learning_rate / (1 - std::pow(0.9, count)));
}

void Parameters::Save(const std::string& prefix, nn::Snapshot* snapshot) const {
  for (size_t i = 0; i < names_.size(); ++i) {
    const std::string name = prefix + names_[i];
    snapshot->tensors[name] = FromTorch(Part(values_, i));
    snapshot->tensors[name + ".m"] = FromTorch(Part(first_, i));
    snapshot->tensors[name + ".v"] = FromTorch(Part(second_, i));
  }
  snapshot->metadata[prefix + "steps"] = absl::StrCat(steps_);
}

absl::Status Parameters::Load(const std::string& prefix, const nn::Snapshot& snapshot) {
  torch::NoGradGuard no_grad;
  ASSIGN_OR_RETURN(const int64_t steps, snapshot.Integer(prefix + "steps"));
  // find everything before anything changes
  std::vector<const nn::Tensor*> found;
  for (size_t i = 0; i < names_.size(); ++i) {
    for (const char* suffix : {"", ".m", ".v"}) {
      ASSIGN_OR_RETURN(const nn::Tensor* tensor,
                       snapshot.Find(prefix + names_[i] + suffix, shapes_[i]));
      found.push_back(tensor);
    }
  }
  for (size_t i = 0; i < names_.size(); ++i) {
    Part(values_, i).copy_(ToTorch(*found[3 * i]));
    Part(first_, i).copy_(ToTorch(*found[3 * i + 1]));
    Part(second_, i).copy_(ToTorch(*found[3 * i + 2]));
  }
  steps_ = steps;
  return absl::OkStatus();
}

nn::Tensor FromTorch(const torch::Tensor& tensor) {
  const torch::Tensor flat = tensor.detach().to(torch::kFloat32).contiguous();
  const float* data = flat.data_ptr<float>();
  return {flat.sizes().vec(), std::vector<float>(data, data + flat.numel())};
}

torch::Tensor ToTorch(const nn::Tensor& tensor) { return ToTorch(tensor.values, tensor.shape); }

torch::Tensor ToTorch(const std::vector<float>& values, const std::vector<int64_t>& shape) {
  return torch::from_blob(const_cast<float*>(values.data()), shape, torch::kFloat32).clone();
}

torch::Tensor Orthogonal(int64_t in, int64_t out, double gain, at::Generator generator) {
  const torch::Tensor normal =
      torch::randn({std::max(in, out), std::min(in, out)}, generator, torch::kFloat32);
  auto [q, r] = torch::linalg_qr(normal);
  // the sign that makes the distribution uniform over orthogonal matrices
  q = q * r.diagonal().sign();
  return (gain * (in < out ? q.t() : q)).contiguous();
}

absl::Status Guard(const char* what, const std::function<absl::Status()>& body) {
  try {
    return body();
  } catch (const c10::Error& error) {
    return absl::InternalError(absl::StrCat(what, ": LibTorch: ", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat(what, ": ", error.what()));
  }
}

}  // namespace backflip::learn
