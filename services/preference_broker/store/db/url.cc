#include "services/preference_broker/store/db/url.h"

#include <libpq-fe.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/loopback.h"

namespace backflip::preference_broker {
namespace {

using Options = std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)>;

// Empty: not given.
std::string ValueOf(const Options& options, absl::string_view keyword) {
  const PQconninfoOption* option = options.get();
  while (option != nullptr && option->keyword != nullptr && option->keyword != keyword) ++option;
  const bool found = option != nullptr && option->keyword != nullptr && option->val != nullptr;
  return found ? option->val : "";
}

bool IsHere(const std::string& host) {
  return host.empty() || host[0] == '/' || host[0] == '@' || host == "::1" ||
         base::IsLoopback4(host);
}

}  // namespace

absl::Status CheckDatabaseUrl(const std::string& url) {
  char* error = nullptr;
  const Options given(PQconninfoParse(url.c_str(), &error), PQconninfoFree);
  if (given == nullptr) {
    const std::string reason(absl::StripAsciiWhitespace(error == nullptr ? "" : error));
    PQfreemem(error);
    return absl::InvalidArgumentError(
        absl::StrCat("--database_url is no URL of PostgreSQL: ", reason));
  }
  const Options defaults(PQconndefaults(), PQconninfoFree);
  const auto value = [&](absl::string_view keyword) {
    const std::string text = ValueOf(given, keyword);
    return text.empty() ? ValueOf(defaults, keyword) : text;
  };
  // an address, where there is one, is what is dialled
  const std::string address = value("hostaddr"), host = value("host");
  const std::vector<std::string> places = absl::StrSplit(address.empty() ? host : address, ',');
  const bool here = value("service").empty() && std::all_of(places.begin(), places.end(), IsHere);
  static constexpr absl::string_view kSaid[] = {"require", "verify-ca", "verify-full", "disable"};
  const std::string mode = value("sslmode");
  const bool said = std::find(std::begin(kSaid), std::end(kSaid), mode) != std::end(kSaid);
  if (here || said) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--database_url: the database is on another machine (", absl::StrJoin(places, ", "),
      "), and its sslmode is '", mode,
      "', which sends passwords and data as plain text where the server wants it so: add "
      "sslmode=verify-full&sslrootcert=CA.pem to the URL, or sslmode=disable if you trust the "
      "network"));
}

}  // namespace backflip::preference_broker
