// Models, through the loader that reads them from a bundle.
#include <cstddef>
#include <cstdint>
#include <string>

#include "common/sim/mujoco/model_files.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string model(reinterpret_cast<const char*>(data), size);
  const auto reader = [&](const std::string& path) {
    return path == "model.xml" ? &model : nullptr;
  };
  (void)backflip::sim::LoadModel("model.xml", reader).status();
  return 0;
}
