#include "common/base/random.h"

#include <sys/random.h>

#include <cstdlib>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace backflip::base {

std::string RandomHex128() {
  char bytes[16];
  // cannot fail or be short for 16 bytes once the kernel's pool is ready
  if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes)) std::abort();
  return absl::BytesToHexString(absl::string_view(bytes, sizeof(bytes)));
}

uint64_t SeedOf(std::initializer_list<uint64_t> keys) {
  uint64_t state = 0x9e3779b97f4a7c15;
  for (const uint64_t key : keys) {
    state ^= key;
    state += 0x9e3779b97f4a7c15;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    state = z ^ (z >> 31);
  }
  return state;
}

uint64_t ContentKey(uint64_t key, const float* values, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, &values[i], sizeof(bits));
    key = SeedOf({key, bits});
  }
  return key;
}

}  // namespace backflip::base
