// What the broker's tests say again and again.
#ifndef BACKFLIP_TESTS_INTEGRATION_BROKER_FIXTURES_H_
#define BACKFLIP_TESTS_INTEGRATION_BROKER_FIXTURES_H_

#include <string>

#include "absl/status/statusor.h"
#include "tests/support/test_broker.h"
#include "tests/support/test_database.h"

namespace backflip::testing {

template <typename T>
absl::StatusCode Code(const absl::StatusOr<T>& result) {
  return result.status().code();
}
template <typename T>
std::string Message(const absl::StatusOr<T>& result) {
  return std::string(result.status().message());
}

// A new answer under a lease.
inline v1::SubmitRequest AnswerTo(const std::string& lease, v1::Choice choice,
                                  const std::string& key = NewId()) {
  v1::SubmitRequest request;
  request.set_lease_id(lease);
  request.set_idempotency_key(key);
  request.mutable_answer()->set_choice(choice);
  return request;
}
inline absl::StatusOr<v1::SubmitResponse> Submit(const Peer& peer,
                                                 const v1::SubmitRequest& request) {
  return peer.Call(peer.labeling, &v1::LabelingService::Stub::Submit, request);
}
inline v1::UndoRequest UndoOf(const std::string& lease, const std::string& key = NewId()) {
  v1::UndoRequest request;
  request.set_lease_id(lease);
  request.set_idempotency_key(key);
  return request;
}

// How many questions have slots that do not add up.
inline std::string BrokenSlots(const TestBroker& broker) {
  return Query(broker.database(),
               "SELECT count(*) FROM questions q WHERE q.overlap <> q.open_slots + "
               "(SELECT count(*) FROM leases l WHERE l.question_id = q.id AND l.holds_slot)");
}

}  // namespace backflip::testing

#endif  // BACKFLIP_TESTS_INTEGRATION_BROKER_FIXTURES_H_
