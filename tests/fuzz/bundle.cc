// Bundles, which workers fetch.
#include "common/sim/bundle.h"

#include <cstddef>
#include <cstdint>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)backflip::sim::UnpackBundle(bytes).status();
  return 0;
}
