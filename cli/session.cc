#include "cli/session.h"

#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/launcher/pages.h"
#include "cli/launcher/paths.h"
#include "cli/values.h"
#include "common/base/status_macros.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/rpc/transport.h"

namespace backflip::cli {
namespace {

std::function<bool()> Stop(base::ShutdownSignal* shutdown) {
  return [shutdown] { return shutdown->Requested(); };
}

// Whether a stack runs on the data folder.
bool Runs(const std::string& data) {
  const std::string address = BrokerAddress(data);
  const absl::string_view socket = absl::StripPrefix(address, "unix:");
  std::error_code ignored;
  // a stack that was killed leaves its socket behind
  return std::filesystem::exists(std::string(socket), ignored) &&
         rpc::WaitHealthy(address, absl::Seconds(3)).ok();
}

absl::StatusOr<Session> Connect(const std::string& address, const std::string& token_file,
                                base::ShutdownSignal* shutdown) {
  ASSIGN_OR_RETURN(std::string token, rpc::ReadTokenFile(token_file));
  Session session;
  session.broker = std::make_unique<client::BrokerClient>(rpc::Client(address, std::move(token)),
                                                          Stop(shutdown));
  return session;
}

}  // namespace

std::string DataFolder(const StackFlags& flags) {
  return std::filesystem::absolute(flags.data.empty() ? DefaultDataFolder() : flags.data).string();
}

absl::StatusOr<Session> ConnectToBroker(const StackFlags& flags, base::ShutdownSignal* shutdown) {
  if (flags.token_file.empty()) {
    return absl::InvalidArgumentError(
        "--broker needs --token-file, a file with an operator's token");
  }
  RETURN_IF_ERROR(rpc::SetTransport({.certificate = flags.certificate,
                                     .key = flags.key,
                                     .ca = flags.ca,
                                     .insecure = flags.insecure}));
  if (const absl::Status healthy = rpc::WaitHealthy(flags.broker, absl::Seconds(5));
      !healthy.ok()) {
    const absl::string_view speaks =
        rpc::IsPlainTo(flags.broker) ? "that speaks plain text, without TLS"
        : flags.ca.empty()           ? "with TLS and a certificate that this machine trusts"
                                     : "with TLS and a certificate of --ca";
    return absl::UnavailableError(absl::StrCat("no broker answers at ", flags.broker, " (",
                                               healthy.message(), "): does one run there ", speaks,
                                               "? --broker takes host:port or unix:path"));
  }
  return Connect(flags.broker, flags.token_file, shutdown);
}

absl::StatusOr<Session> StartStack(const StackFlags& flags,
                                   const std::optional<PagesOptions>& pages,
                                   base::ShutdownSignal* shutdown) {
  Session session;
  ASSIGN_OR_RETURN(
      session.stack,
      LocalStack::Start({.data = DataFolder(flags), .database = flags.database, .pages = pages},
                        Stop(shutdown)));
  session.broker = std::make_unique<client::BrokerClient>(session.stack->broker(), Stop(shutdown));
  return session;
}

absl::StatusOr<Session> OpenSession(const Call& call) {
  if (!call.stack.broker.empty()) return ConnectToBroker(call.stack, call.shutdown);
  const std::string data = DataFolder(call.stack);
  if (!Runs(data)) return StartStack(call.stack, std::nullopt, call.shutdown);
  return Connect(BrokerAddress(data), data + "/tokens/operator.token", call.shutdown);
}

absl::StatusOr<std::string> PagesUrlOf(const StackFlags& flags) {
  if (!flags.public_url.empty()) return CheckPublicUrl(flags.public_url);
  if (!flags.broker.empty()) {
    return absl::InvalidArgumentError(
        "say how browsers reach that broker's pages: --public-url https://...");
  }
  const std::string data = DataFolder(flags);
  std::string url;
  if (Runs(data)) std::ifstream(PagesUrlFile(data)) >> url;
  if (url.empty()) {
    return absl::FailedPreconditionError(
        "no stack with pages runs here: start one by `./backflip train --human` "
        "(or name one by --broker, --token-file and --public-url)");
  }
  return url;
}

absl::StatusOr<int64_t> RunOrNewest(const client::BrokerClient& broker, absl::string_view text) {
  if (!text.empty()) return ParseRun(text);
  ASSIGN_OR_RETURN(const std::vector<v1::Run> runs, broker.List(1));
  if (runs.empty()) return absl::NotFoundError("there is no run yet");
  return runs.front().id();
}

bool Ended(v1::RunState state) {
  return state == v1::FINISHED || state == v1::FAILED || state == v1::CANCELLED ||
         state == v1::PAUSED;
}

absl::StatusOr<v1::Run> Follow(const Session& session, int64_t run_id,
                               base::ShutdownSignal* shutdown, LiveStatus* live) {
  const absl::Time start = absl::Now();
  Pace pace;
  int64_t revision = -1;
  while (!shutdown->Requested()) {
    // a second: for the clock on the block
    absl::StatusOr<v1::Run> run =
        session.broker->Watch(run_id, revision, absl::Seconds(revision < 0 ? 0 : 1));
    if (session.stack != nullptr) {
      for (const std::string& event : session.stack->TakeEvents()) live->Say(event);
      RETURN_IF_ERROR(session.stack->Failure());
    }
    RETURN_IF_ERROR(run.status());
    // also while nothing moves: what waits for people has no speed
    pace.Add(absl::Now(), run->steps());
    revision = run->revision();
    live->Show(*run, pace, absl::Now() - start);
    if (Ended(run->state())) {
      live->Finish();
      return run;
    }
  }
  live->Finish();
  return absl::CancelledError("interrupted");
}

}  // namespace backflip::cli
