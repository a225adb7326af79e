package honker

import (
	"errors"
	"os"
)

func pollable(int) (*os.File, error) { return nil, errors.ErrUnsupported }
