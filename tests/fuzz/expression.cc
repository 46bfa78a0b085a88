// Expressions of task files.
#include "common/sim/expression.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace backflip;
  const std::string text(reinterpret_cast<const char*>(data), size);
  static const std::vector<std::string> names = {"height", "v", "x1"};
  double values[] = {0.5, -2, 0};
  (void)sim::CheckName(text);
  if (const auto expression = sim::Expression::Compile(text, names, values); expression.ok())
    (void)expression->Evaluate();
  return 0;
}
