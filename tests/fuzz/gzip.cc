// Compressed bodies.
#include "services/preference_broker/http/gzip.h"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace backflip::preference_broker;
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  (void)Gunzip(bytes, 1 << 20).status();
  (void)AcceptsGzip(bytes);
  return 0;
}
