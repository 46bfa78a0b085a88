// A snapshot: an immutable set of named float32 tensors with text metadata that
// describes the network. Its bytes are a safetensors file, so that any language
// with a safetensors reader loads a policy or a reward (see policy.h, reward.h).
#ifndef BACKFLIP_COMMON_NN_SNAPSHOT_H_
#define BACKFLIP_COMMON_NN_SNAPSHOT_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace backflip::nn {

// Row-major; an empty shape is a scalar.
struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> values;

  // Product of the shape.
  int64_t size() const;
};

struct Snapshot {
  // Decode refuses more than this; Encode does not check.
  static constexpr int64_t kMaxBytes = 256 << 20;
  static constexpr int64_t kMaxHeaderBytes = 1 << 20;

  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;

  // The same snapshot always gives the same bytes. Every tensor's values must
  // fill its shape.
  std::string Encode() const;

  // Accepts bytes from anywhere: InvalidArgument for what is not a complete
  // safetensors file of finite F32 tensors that fill the data without holes or
  // overlaps.
  static absl::StatusOr<Snapshot> Decode(absl::string_view bytes);

  // The tensor `name`, which must have exactly `shape`; -1 stands for any size.
  absl::StatusOr<const Tensor*> Find(const std::string& name,
                                     const std::vector<int64_t>& shape) const;

  // Metadata `name`; InvalidArgument if it is missing or not of that type.
  absl::StatusOr<std::string> Text(const std::string& name) const;
  absl::StatusOr<double> Number(const std::string& name) const;
  absl::StatusOr<int64_t> Integer(const std::string& name) const;
  // A comma-separated list, such as "12,64,64,3".
  absl::StatusOr<std::vector<int64_t>> Integers(const std::string& name) const;
  // The same for doubles, which SetNumbers writes so that they return bit for
  // bit.
  absl::StatusOr<std::vector<double>> Numbers(const std::string& name) const;

  void SetNumbers(const std::string& name, const std::vector<double>& values);
};

}  // namespace backflip::nn

#endif  // BACKFLIP_COMMON_NN_SNAPSHOT_H_
