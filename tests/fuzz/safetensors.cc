// Snapshots of policies and rewards, as workers take them from the broker.
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "common/nn/policy.h"
#include "common/nn/reward.h"
#include "common/nn/snapshot.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace backflip;
  const auto snapshot = nn::Snapshot::Decode({reinterpret_cast<const char*>(data), size});
  if (!snapshot.ok()) return 0;
  (void)nn::Policy::FromSnapshot(*snapshot).status();
  (void)nn::RewardModel::FromSnapshot(*snapshot).status();
  return 0;
}
