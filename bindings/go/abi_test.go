package honker

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestABI compares what this package declares with what libhonker's sources say.
func TestABI(t *testing.T) {
	text, err := os.ReadFile("../../honker-ffi/abi.json")
	if err != nil {
		t.Fatal(err)
	}
	var abi struct {
		Version   uint32 `json:"abi_version"`
		Constants []struct {
			Name  string
			Value int64
		}
		Functions map[string]any
		Structs   map[string]struct {
			Size, Align uintptr
			Fields      []struct {
				Name, Type   string
				Offset, Size uintptr
			}
		}
	}
	if err := json.Unmarshal(text, &abi); err != nil {
		t.Fatal(err)
	}
	if abi.Version != abiVersion {
		t.Errorf("the version is %d here and %d there", abiVersion, abi.Version)
	}
	for _, name := range functionNames {
		if abi.Functions[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}

	constants := map[string]int64{"HONKER_NO_TIME": noTime, "HONKER_NESTING_WAIT": nestingWait, "HONKER_ABI_VERSION": abiVersion,
		"HONKER_TYPE_NULL": typeNull, "HONKER_TYPE_INTEGER": typeInteger, "HONKER_TYPE_REAL": typeReal, "HONKER_TYPE_TEXT": typeText,
		"HONKER_TYPE_BLOB": typeBlob, "HONKER_SETTLE_ACK": settleAck, "HONKER_SETTLE_RETRY": settleRetry, "HONKER_SETTLE_FAIL": settleFail,
		"HONKER_UPDATE_EXPRESSION": updateExpression, "HONKER_UPDATE_PAYLOAD": updatePayload, "HONKER_UPDATE_PRIORITY": updatePriority,
		"HONKER_UPDATE_EXPIRES": updateExpires, "HONKER_UPDATE_MAX_ATTEMPTS": updateMaxAttempts, "HONKER_NESTING_FAIL": 0,
		"HONKER_DURABILITY_NORMAL": int64(DurabilityNormal), "HONKER_DURABILITY_FULL": int64(DurabilityFull), "HONKER_JOURNAL_WAL": int64(JournalWAL),
		"HONKER_JOURNAL_DELETE": int64(JournalDelete), "HONKER_JOURNAL_TRUNCATE": int64(JournalTruncate), "HONKER_JOURNAL_PERSIST": int64(JournalPersist)}
	for status, name := range statusNames {
		constants[name] = int64(status)
	}
	for _, constant := range abi.Constants {
		if mine, is := constants[constant.Name]; !is || mine != constant.Value {
			t.Errorf("%s is %d, here %d (%v)", constant.Name, constant.Value, mine, is)
		}
	}
	if len(constants) != len(abi.Constants) {
		t.Errorf("%d constants here, %d there", len(constants), len(abi.Constants))
	}

	structs := map[string]any{"bytes": bytesView{}, "open_opts": openOpts{}, "value": value{}, "enqueue_opts": enqueueOpts{}, "job_view": jobView{},
		"worker_opts": workerOpts{}, "settlement": settlement{}, "notification_view": notificationView{}, "event_view": eventView{},
		"subscription_opts": subscriptionOpts{}, "schedule_opts": scheduleOpts{}, "schedule_update": scheduleUpdate{}, "fire_view": fireView{},
		"outbox_opts": outboxOpts{}}
	for name, layout := range abi.Structs {
		mine := reflect.TypeOf(structs[strings.TrimSuffix(strings.TrimPrefix(name, "honker_"), "_t")])
		if mine == nil || mine.Size() != layout.Size || mine.NumField() != len(layout.Fields) {
			t.Errorf("%s is %v", name, mine)
			continue
		}
		for i, field := range layout.Fields {
			is := mine.Field(i)
			if !strings.EqualFold(is.Name, strings.ReplaceAll(field.Name, "_", "")) || is.Offset != field.Offset || is.Type.Size() != field.Size {
				t.Errorf("%s.%s is %s at %d, expected at %d, %d bytes", name, field.Name, is.Name, is.Offset, field.Offset, field.Size)
			}
		}
	}
}
