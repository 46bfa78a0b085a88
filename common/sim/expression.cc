#include "common/sim/expression.h"

#include <muParser.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/status_macros.h"

namespace backflip::sim {
namespace {

constexpr size_t kMostCharacters = 4096;

double Clamp(double x, double low, double high) { return std::min(std::max(x, low), high); }

std::unique_ptr<mu::Parser> NewParser() {
  auto parser = std::make_unique<mu::Parser>();
  parser->DefineFun("clamp", Clamp);
  return parser;
}

}  // namespace

absl::Status CheckName(const std::string& name) {
  const auto is_letter = [](char c) { return absl::ascii_isalpha(c) || c == '_'; };
  if (name.empty() || name.size() > 64 || !is_letter(name[0]) ||
      !std::all_of(name.begin(), name.end(),
                   [&](char c) { return is_letter(c) || absl::ascii_isdigit(c); })) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" is no name: 1 to 64 letters, digits and _, the first ",
                     "of them no digit"));
  }
  const auto parser = NewParser();
  if (parser->GetFunDef().count(name) > 0 || parser->GetConst().count(name) > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", name, "\" is the name of a function or constant"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Expression> Expression::Compile(const std::string& text,
                                               absl::Span<const std::string> names,
                                               double* values) {
  const auto error = [&](absl::string_view reason) {
    return absl::InvalidArgumentError(absl::StrCat(reason, " in \"", text, "\""));
  };
  if (text.size() > kMostCharacters) {
    return absl::InvalidArgumentError(absl::StrCat("an expression of ", text.size(),
                                                   " characters; at most ", kMostCharacters,
                                                   " are allowed"));
  }
  try {
    auto parser = NewParser();
    parser->SetExpr(text);
    for (const auto& [used, unused] : parser->GetUsedVar()) {
      if (std::find(names.begin(), names.end(), used) == names.end()) {
        return error(absl::StrCat("unknown name \"", used, "\" (known here: ",
                                  names.empty() ? "none" : absl::StrJoin(names, ", "), ")"));
      }
    }
    for (size_t i = 0; i < names.size(); ++i) {
      parser->DefineVar(names[i], &values[i]);
    }
    parser->Eval();
    if (parser->GetNumResults() != 1) {
      return error("more than one value");
    }
    return Expression(std::move(parser));
  } catch (const mu::Parser::exception_type& e) {
    return error(e.GetMsg());
  }
}

Expression::Expression(std::unique_ptr<mu::Parser> parser) : parser_(std::move(parser)) {}
Expression::Expression(Expression&&) noexcept = default;
Expression& Expression::operator=(Expression&&) noexcept = default;
Expression::~Expression() = default;

double Expression::Evaluate() const {
  try {
    return parser_->Eval();
  } catch (const mu::Parser::exception_type&) {
    return std::numeric_limits<double>::quiet_NaN();
  }
}

}  // namespace backflip::sim
