#include "cli/command.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace backflip::cli {
namespace {

std::vector<Command>& Registry() {
  static auto* registry = new std::vector<Command>();
  return *registry;
}

}  // namespace

Flag::Flag(absl::string_view form, absl::string_view help) : help(help) {
  const size_t space = form.find(' ');
  name = std::string(form.substr(0, space));
  if (space != absl::string_view::npos) placeholder = std::string(form.substr(space + 1));
}

Flag Flag::Required() const {
  Flag flag = *this;
  flag.required = true;
  return flag;
}

std::string Flag::Text() const {
  return absl::StrCat("--", name, takes_value() ? " " : "", placeholder);
}

std::vector<Flag> StackFlags::Flags() {
  return {
      {"data FOLDER", &data,
       "database, tokens, logs and results of the stack on this machine. Default: "
       "/var/lib/backflip for root, else ~/.local/share/backflip"},
      {"database-url URL", &database,
       "PostgreSQL to use, postgresql://... Default: a private one in the data folder"},
      {"broker ADDRESS", &broker,
       "use the stack whose broker listens here, host:port or unix:path, instead of one on this "
       "machine"},
      {"token-file FILE", &token_file, "with --broker: an operator's token there"},
      {"ca FILE", &ca,
       "with --broker: PEM file with the authority that signed its certificate. Default: the "
       "system's authorities"},
      {"certificate FILE", &certificate,
       "with --broker, where it asks for one: PEM file with our own certificate"},
      {"key FILE", &key, "the key of --certificate"},
      {"insecure", &insecure, "with --broker: speak plain text with another machine"},
      {"public-url URL", &public_url,
       "how browsers reach the pages, https://..., where a proxy stands in front of them, or with "
       "--broker"},
  };
}

std::string Command::Name() const {
  // an argument has a capital or a bracket before it
  const auto end = std::find_if(form.begin(), form.end(),
                                [](char c) { return absl::ascii_isupper(c) || c == '['; });
  return std::string(absl::StripAsciiWhitespace(std::string(form.begin(), end)));
}

std::string Command::Usage() const {
  std::string usage = form;
  for (const Flag& flag : flags) {
    if (flag.required) absl::StrAppend(&usage, " ", flag.Text());
  }
  return usage;
}

Registered::Registered(std::initializer_list<Command> commands) {
  Registry().insert(Registry().end(), commands.begin(), commands.end());
}

std::vector<Command> Commands() {
  std::vector<Command> commands = Registry();
  const auto place = [](const Command& command) {
    const std::string name = command.Name();
    const size_t space = name.find(' ');
    return std::make_tuple(command.section, name.substr(0, space), space != std::string::npos);
  };
  std::stable_sort(commands.begin(), commands.end(),
                   [&](const Command& a, const Command& b) { return place(a) < place(b); });
  return commands;
}

}  // namespace backflip::cli
