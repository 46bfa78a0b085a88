// Arithmetic over named numbers: muParser's language plus clamp(x, low, high).
#ifndef BACKFLIP_COMMON_SIM_EXPRESSION_H_
#define BACKFLIP_COMMON_SIM_EXPRESSION_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace mu {
class Parser;
}

namespace backflip::sim {

// OK when quantities and metrics can have this name: a letter or _, then
// letters, digits and _, and no name of a function or constant.
absl::Status CheckName(const std::string& name);

// One expression bound to an array of numbers. Not thread-safe, not even for
// reading: one per environment.
class Expression {
 public:
  // `names[i]` stands for values[i]; `values` must outlive the expression.
  // InvalidArgument says what is wrong and which names there are; a text has at most 4,096
  // characters.
  static absl::StatusOr<Expression> Compile(const std::string& text,
                                            absl::Span<const std::string> names, double* values);

  Expression(Expression&&) noexcept;
  Expression& operator=(Expression&&) noexcept;
  ~Expression();

  // NaN where muParser finds no value.
  double Evaluate() const;

 private:
  explicit Expression(std::unique_ptr<mu::Parser> parser);

  std::unique_ptr<mu::Parser> parser_;
};

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_EXPRESSION_H_
