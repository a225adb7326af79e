package honker

import (
	"bytes"
	"encoding/json"
)

// encode makes the text that is stored of a payload, or what else it is called: what encoding/json makes of it, or a
// json.RawMessage as it is.
func encode(what string, payload any) ([]byte, error) {
	if raw, is := payload.(json.RawMessage); is {
		if !json.Valid(raw) {
			return nil, invalid(nil, "the %s, a json.RawMessage, is not valid JSON", what)
		}
		return raw, nil
	}
	encoded, err := json.Marshal(payload)
	if err != nil {
		return nil, invalid(err, "the %s cannot be encoded: %v", what, err)
	}
	// Bytes that are no UTF-8 come out as \ufffd, and only they do: the character itself is written as it is.
	if rest := encoded; bytes.Contains(rest, []byte(`\ufffd`)) {
		if bytes.Contains(bytes.ReplaceAll(rest, []byte(`\\`), nil), []byte(`\ufffd`)) {
			return nil, newError(StatusUTF8, "a text in the %s is not valid UTF-8; encoding/json would replace it", what)
		}
	}
	return encoded, nil
}

// decode is the opposite; empty text is null.
func decode(payload []byte, v any) error {
	if len(payload) == 0 {
		payload = []byte("null")
	}
	if err := json.Unmarshal(payload, v); err != nil {
		return invalid(err, "the payload cannot be decoded: %v", err)
	}
	return nil
}

// decodeList is what is in JSON that the library has made.
func decodeList[T any](text string, err error) (T, error) {
	var list T
	if err == nil {
		if cause := json.Unmarshal([]byte(text), &list); cause != nil {
			err = &Error{Status: StatusInternal, Message: "the library returned JSON that does not fit: " + cause.Error(), cause: cause}
		}
	}
	return list, err
}
