#include "common/learn/algorithm.h"

#include "common/learn/ppo/ppo.h"
#include "common/learn/trpo/trpo.h"

namespace backflip::learn {

absl::StatusOr<std::unique_ptr<Algorithm>> MakeAlgorithm(const v1::RunSpec& spec, Sizes sizes) {
  return spec.algorithm() == v1::TRPO ? MakeTrpo(spec, sizes) : MakePpo(spec, sizes);
}

}  // namespace backflip::learn
