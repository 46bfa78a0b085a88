// Clips as workers upload them, in binary.
#include <cstddef>
#include <cstdint>

#include "common/experience/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  backflip::v1::Clip clip;
  if (clip.ParseFromArray(data, static_cast<int>(size)))
    (void)backflip::experience::FromProto(clip, 2, 1).status();
  return 0;
}
