// Task files, as they come in bundles.
#include "common/sim/task_file.h"

#include <cstddef>
#include <cstdint>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)backflip::sim::TaskFile::Parse(text, "task.textproto").status();
  return 0;
}
