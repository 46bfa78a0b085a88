#include "common/learn/algorithm.h"

#include "common/learn/ppo/ppo.h"

namespace backflip::learn {

absl::StatusOr<std::unique_ptr<Algorithm>> MakeAlgorithm(const v1::RunSpec& spec, Sizes sizes) {
  return MakePpo(spec, sizes);
}

}  // namespace backflip::learn
